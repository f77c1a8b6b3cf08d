"""The embedded default: everything a demonstration needs beside the product itself."""
