"""The EST door (RFC 7030): reads enrolments, calls one service each, answers in words for field engineers."""
