//! Stories of the server as a machine.
