"""What is asked: study files and the variants they stand for."""
