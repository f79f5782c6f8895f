//! The CRC32c (Castagnoli) of SCTP (RFC 9260 appendix A), eight bytes a step.
//!
//! Table `n` holds what a byte does to the register once `n` more bytes have passed, so that
//! eight look-ups that do not wait for each other take the place of eight that do.

/// The polynomial 0x1edc6f41 with its bits reversed, as bytes enter with the lowest bit first.
const POLYNOMIAL: u32 = 0x82f6_3b78;

static TABLES: [[u32; 256]; 8] = tables();

/// The CRC32c of `bytes`.
#[must_use]
pub fn crc32c(bytes: &[u8]) -> u32 {
    !update(!0, bytes)
}

/// Moves a register over `bytes`. It begins as all ones, and its complement is the CRC.
#[must_use]
pub fn update(register: u32, bytes: &[u8]) -> u32 {
    let mut register = register;
    let mut steps = bytes.chunks_exact(8);
    for step in &mut steps {
        let mut eight = [0; 8];
        eight.copy_from_slice(step);
        register = update_by_eight(register, eight);
    }
    for byte in steps.remainder() {
        let [low, ..] = register.to_le_bytes();
        register = (register >> 8) ^ TABLES[0][usize::from(low ^ byte)];
    }
    register
}

/// Moves a register over `count` zeros.
#[must_use]
pub fn update_by_zeros(register: u32, count: usize) -> u32 {
    const ZEROS: [u8; 64] = [0; 64];
    let whole = (0..count / ZEROS.len()).fold(register, |register, _| update(register, &ZEROS));
    update(whole, &ZEROS[..count % ZEROS.len()])
}

#[inline]
fn update_by_eight(register: u32, bytes: [u8; 8]) -> u32 {
    let mixed = (u64::from_le_bytes(bytes) ^ u64::from(register)).to_le_bytes();
    let mut next = 0;
    for (table, byte) in TABLES.iter().rev().zip(mixed) {
        next ^= table[usize::from(byte)];
    }
    next
}

const fn tables() -> [[u32; 256]; 8] {
    let mut tables = [[0; 256]; 8];
    let mut register = 0_u32;
    let mut byte = 0;
    while byte < 256 {
        let mut entry = register;
        let mut bit = 0;
        while bit < 8 {
            entry = (entry >> 1) ^ (POLYNOMIAL * (entry & 1));
            bit += 1;
        }
        tables[0][byte] = entry;
        register += 1;
        byte += 1;
    }
    let mut table = 1;
    while table < 8 {
        let mut byte = 0;
        while byte < 256 {
            let entry: u32 = tables[table - 1][byte];
            tables[table][byte] = (entry >> 8) ^ tables[0][(entry & 0xff) as usize];
            byte += 1;
        }
        table += 1;
    }
    tables
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_rfc_3720_come_out() {
        // RFC 3720 §B.4 prints them as they stand on the wire, lowest byte first.
        let ascending: Vec<u8> = (0..32).collect();
        let descending: Vec<u8> = (0..32).rev().collect();

        assert_eq!(crc32c(&[0; 32]).to_le_bytes(), [0xaa, 0x36, 0x91, 0x8a]);
        assert_eq!(crc32c(&[0xff; 32]).to_le_bytes(), [0x43, 0xab, 0xa8, 0x62]);
        assert_eq!(crc32c(&ascending).to_le_bytes(), [0x4e, 0x79, 0xdd, 0x46]);
        assert_eq!(crc32c(&descending).to_le_bytes(), [0x5c, 0xdb, 0x3f, 0x11]);
    }

    #[test]
    fn zeros_are_bytes_like_others() {
        for count in [0, 1, 63, 64, 65, 1_000] {
            let expected = update(0x1234_5678, &vec![0; count]);
            assert_eq!(update_by_zeros(0x1234_5678, count), expected, "{count}");
        }
    }

    #[test]
    fn the_check_value_comes_out_at_every_split() {
        let text = b"123456789";

        for at in 0..=text.len() {
            let (front, back) = text.split_at(at);
            assert_eq!(!update(update(!0, front), back), 0xe306_9283, "{at}");
        }
    }
}
