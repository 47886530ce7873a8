"""What fate learns from decisions: which text a reader will like (``ranker``), and how to write such (``tuning``)."""
