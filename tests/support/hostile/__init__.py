"""Bad inputs as tables, one module a family of formats; tests/cli/test_hostile_input.py runs them
all."""
