//! Room card to come.
