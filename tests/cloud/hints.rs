//! Does a hint bring the next question forward, and nothing else?
