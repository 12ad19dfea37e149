"""The engine of pages without a server, asked by node."""

import json
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rnnlm.serving import html_export

NODE = shutil.which("node")
# Asks come on standard input: of each the packed model and calls, a method and its arguments. An
# error is answered by its parts.
_SCRIPT = """
const asked = JSON.parse(require("fs").readFileSync(0, "utf8"));
const ask = async (engine, [method, ...given]) => {
  try {
    return await engine[method](...given);
  } catch (error) {
    if (error.what === undefined) throw error;
    return { error: [error.what, error.why, error.hint] };
  }
};
(async () => {
  const answers = [];
  for (const { packed, calls } of asked) {
    const engine = makeEngine([packed]);
    const its = [];
    for (const call of calls) its.push(await ask(engine, call));
    answers.push(its);
  }
  console.log(JSON.stringify(answers));
})();
"""


def answers(asked: Sequence[tuple[dict[str, Any], Sequence[Sequence[Any]]]]) -> list[list[Any]]:
    """Return what the engine answers to the calls of each packed model."""
    assert NODE is not None
    given = [{"packed": packed, "calls": calls} for packed, calls in asked]
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "ask.js"
        script.write_text(html_export.engine_text() + _SCRIPT, encoding="utf-8")
        ended = subprocess.run(
            [NODE, str(script)],
            input=json.dumps(given),
            capture_output=True,
            text=True,
            check=False,
            encoding="utf-8",
        )
    assert ended.returncode == 0, ended.stderr
    found: list[list[Any]] = json.loads(ended.stdout)
    return found
