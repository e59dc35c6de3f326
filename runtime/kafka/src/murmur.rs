//! Decides the partition of a key as Kafka's Java client does, for records whose partition must be
//! known before they are sent. It knows no topic.

/// Partition of `key` among `partitions`, or by `sequence` in turn for a null key.
///
/// The same as the Java client's default and librdkafka's `murmur2_random`, but for null keys,
/// which those spread at random.
///
/// # Panics
///
/// When `partitions` is zero.
pub fn partition_of(key: Option<&[u8]>, sequence: u64, partitions: u32) -> u32 {
    let slot = match key {
        Some(key) => u64::from(murmur2(key) & 0x7fff_ffff) % u64::from(partitions),
        None => sequence % u64::from(partitions),
    };
    u32::try_from(slot).unwrap_or(0)
}

/// 32-bit murmur2 with Kafka's seed (source: KIP-480 keeps it for keys; the constants are those of
/// Austin Appleby's public-domain description).
fn murmur2(bytes: &[u8]) -> u32 {
    const SEED: u32 = 0x9747_b28c;
    const FACTOR: u32 = 0x5bd1_e995;
    const SHIFT: u32 = 24;
    // Kafka's lengths are 32-bit; a longer key cannot exist there.
    let mut hash = SEED ^ u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    let mut words = bytes.chunks_exact(4);
    for word in &mut words {
        let mut mixed = word.iter().rev().fold(0_u32, |sum, byte| sum << 8 | u32::from(*byte));
        mixed = mixed.wrapping_mul(FACTOR);
        mixed ^= mixed >> SHIFT;
        hash = hash.wrapping_mul(FACTOR) ^ mixed.wrapping_mul(FACTOR);
    }
    let rest = words.remainder();
    if !rest.is_empty() {
        hash ^= rest.iter().rev().fold(0_u32, |sum, byte| sum << 8 | u32::from(*byte));
        hash = hash.wrapping_mul(FACTOR);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(FACTOR);
    hash ^ hash >> 15
}

#[cfg(test)]
mod tests {
    use super::{murmur2, partition_of};

    #[test]
    fn hashes_are_those_of_the_java_client() {
        let rows: &[(&str, i32)] = &[
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
            ("", 275_646_681),
        ];
        for (key, expected) in rows {
            assert_eq!(murmur2(key.as_bytes()).cast_signed(), *expected, "{key:?}");
        }
    }

    #[test]
    fn partitions_are_those_of_the_java_client() {
        // -973932308 & 0x7fffffff = 1173551340, and so on.
        assert_eq!(partition_of(Some(b"21"), 9, 7), 1_173_551_340 % 7);
        assert_eq!(partition_of(Some(b"foobar"), 9, 7), 1_357_151_166 % 7);
        assert_eq!(partition_of(Some(b""), 9, 7), 275_646_681 % 7);
        assert_eq!(partition_of(Some(b"anything"), 9, 1), 0);
    }

    #[test]
    fn null_keys_take_turns() {
        let taken: Vec<u32> = (0..5).map(|sequence| partition_of(None, sequence, 3)).collect();
        assert_eq!(taken, [0, 1, 2, 0, 1]);
    }
}
