"""What fate learns from decisions: what readers like in a text (``ranker``), and to write it (``tuning``)."""
