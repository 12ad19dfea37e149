"""What word vectors say: which words lie together, which differences between them are alike, and how well that matches what people say."""
