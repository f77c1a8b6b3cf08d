"""The embedded default: broker, API emulator, simulated LVM, and the product's own processes."""
