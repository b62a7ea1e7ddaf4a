//! Being written.

pub fn clear(pack: &mut Vec<u8>) {
    pack.clear();
    pack.extend_from_slice(&[7, 0, 0, 0, 0, 0, 255]);
}
