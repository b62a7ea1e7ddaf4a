//! Being written.

pub fn clear(pack: &mut Vec<u8>) {
    pack.clear();
    pack.extend_from_slice(&[2, 0, 0, 0, 0, 0, 0, 0]);
}
