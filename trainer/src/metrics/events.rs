//! TensorBoard's event files, written by hand: they are short.
//!
//! A file is a row of TFRecords: length (u64), its checksum, an `Event` message, its checksum; integers
//! little-endian, checksums CRC-32C, "masked" (rotated and shifted, because a checksum of data that holds
//! checksums would be weak). Of `Event` (tensorboard/compat/proto/event.proto) four fields are used, of
//! `Summary` the plain `simple_value`, which TensorBoard shows as a scalar. The bytes are compared with
//! those that TensorBoard's own writer makes (`tests/parity/events.py`).

/// A message as a record.
pub fn record(message: &[u8]) -> Vec<u8> {
    let length = (message.len() as u64).to_le_bytes();
    let mut bytes = Vec::with_capacity(message.len() + 16);
    bytes.extend(length);
    bytes.extend(masked_crc(&length).to_le_bytes());
    bytes.extend(message);
    bytes.extend(masked_crc(message).to_le_bytes());
    bytes
}

/// The event that every file opens with. `time` in seconds since 1970.
pub fn version(time: f64) -> Vec<u8> {
    let mut event = Message::default();
    event.double(1, time);
    event.bytes(3, b"brain.Event:2");
    event.0
}

/// The start of a session at a step: what earlier files say about this step and later ones is void.
pub fn start(time: f64, step: u64) -> Vec<u8> {
    let mut log = Message::default();
    log.integer(1, 1); // SessionLog.START
    let mut event = Message::default();
    event.double(1, time);
    event.integer(2, step);
    event.bytes(7, &log.0);
    event.0
}

/// Scalars of one step, in their order.
pub fn scalars(time: f64, step: u64, values: &[(String, f64)]) -> Vec<u8> {
    let mut summary = Message::default();
    for (name, number) in values {
        let mut value = Message::default();
        value.bytes(1, name.as_bytes());
        value.float(2, *number as f32);
        summary.bytes(1, &value.0);
    }
    let mut event = Message::default();
    event.double(1, time);
    event.integer(2, step);
    event.bytes(5, &summary.0);
    event.0
}

/// A protobuf message being written, fields in the order of their numbers.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn tag(&mut self, field: u64, wire: u64) {
        self.varint(field << 3 | wire);
    }

    /// Proto3 leaves out a zero.
    fn integer(&mut self, field: u64, value: u64) {
        if value != 0 {
            self.tag(field, 0);
            self.varint(value);
        }
    }

    fn double(&mut self, field: u64, value: f64) {
        if value != 0.0 {
            self.tag(field, 1);
            self.0.extend(value.to_le_bytes());
        }
    }

    fn bytes(&mut self, field: u64, bytes: &[u8]) {
        self.tag(field, 2);
        self.varint(bytes.len() as u64);
        self.0.extend(bytes);
    }

    /// A member of a `oneof`: a zero is written too.
    fn float(&mut self, field: u64, value: f32) {
        self.tag(field, 5);
        self.0.extend(value.to_le_bytes());
    }
}

fn masked_crc(bytes: &[u8]) -> u32 {
    crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// CRC-32C (Castagnoli), a bit at a time: a few hundred bytes a step need no table.
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg())
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_the_one_of_the_catalogue() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(b""), 0);
    }

    /// The golden file holds the same events, written by TensorBoard's own code.
    #[test]
    fn the_bytes_are_those_of_tensorboards_writer() {
        let golden = include_bytes!("../../goldens/events.tfevents");
        let value = |name: &str, number| (name.to_owned(), number);
        let written: Vec<u8> = [
            version(1.5),
            start(2.25, 301),
            scalars(3.0, 0, &[value("loss", 0.0)]),
            scalars(
                1_700_000_000.125,
                300_000,
                &[
                    value("reward", 0.25),
                    value("rewards/likelihood/mean", -12.5),
                    value("eval/größe", 1e-3),
                ],
            ),
        ]
        .iter()
        .flat_map(|event| record(event))
        .collect();
        assert_eq!(written, golden);
    }
}
