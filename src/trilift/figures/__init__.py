"""One function per figure; each returns a matplotlib figure. Nothing here reads or writes files."""
