//! Stories of the client as a machine.
