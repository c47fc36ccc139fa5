//! Writes the seeds of all corpora again, from the vectors.

use std::{io, path::Path};

fn main() -> io::Result<()> {
    causeway_fuzz::seeds::write(&Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus"))
}
