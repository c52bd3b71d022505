//! The commands of a workload.

/// Where the payloads of commands come from: a text that is not all the same, at another place each time.
#[derive(Debug)]
pub struct Commands {
    text: Vec<u8>,
    payload: usize,
    at: usize,
}

impl Commands {
    const PLACES: usize = 256;

    /// Commands of `payload` bytes each.
    pub fn new(payload: usize) -> Self {
        let text = (0..payload + Self::PLACES).map(|index| (index * 31) as u8);
        Self {
            text: text.collect(),
            payload,
            at: 0,
        }
    }

    /// The next command; it has to be copied from here, as from a connection's buffer.
    pub fn advance(&mut self) -> &[u8] {
        self.at = (self.at + 1) % Self::PLACES;
        &self.text[self.at..self.at + self.payload]
    }
}
