"""What a ceremony script can ask for, one verb a file."""
