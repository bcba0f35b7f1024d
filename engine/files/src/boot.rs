//! Which run of the machine's kernel this is: a sidecar of an earlier one may promise bytes that
//! the crash in between has lost.

use ringway::{Engine, OpenHow};

use crate::sidecar::BootId;

const PATH: &str = "/proc/sys/kernel/random/boot_id";

/// The kernel's boot id, or the unknown one, which makes resumes trust only what was synced.
pub(crate) async fn boot_id(engine: &Engine) -> BootId {
    let text = async {
        let file = engine.ambient().open(PATH, OpenHow::READ).await.ok()?;
        let (buffer, filled) = file.read_at(0, vec![0; 64]).await.ok()?;
        parse(buffer.get(..filled)?)
    };
    text.await.unwrap_or_default()
}

fn parse(text: &[u8]) -> Option<BootId> {
    let digits = text.iter().filter(|byte| byte.is_ascii_hexdigit());
    let digits: Vec<u8> = digits
        .filter_map(|byte| (*byte as char).to_digit(16))
        .map(|d| d as u8)
        .collect();
    let pairs = digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]);
    let bytes: Vec<u8> = pairs.collect();
    Some(BootId(bytes.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_text_is_read_and_anything_else_is_unknown() {
        let id = parse(b"0b1d2e3f-0011-2233-4455-66778899aabb\n").expect("a boot id");
        assert_eq!(id.0[..4], [0x0b, 0x1d, 0x2e, 0x3f]);
        assert_eq!(parse(b""), None);
        assert_eq!(parse(b"0b1d"), None);
    }
}
