//! Reads: text to checked configuration.
