//! A long random walk over the machine.
