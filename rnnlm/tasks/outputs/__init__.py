"""What writes labels: softmax, CRF, label feedback, and the search for the best labels."""
