//! Which form of account key a full node takes (les.md 7.1).

use causeway_translate::AccountKeyForm;

/// geth from 1.12.1 on wants the 20-byte address; older ones, and whoever we do not know, the 32-byte hash.
pub(crate) fn form_of(client: &str) -> AccountKeyForm {
    let mut parts = client.split('/');
    let name = parts.next().unwrap_or_default();
    let version = parts.find_map(parse_version);
    match (name.to_ascii_lowercase().as_str(), version) {
        ("geth", Some(version)) if version >= (1, 12, 1) => AccountKeyForm::Address,
        ("coregeth", Some(version)) if version >= (1, 12, 14) => AccountKeyForm::Address,
        _ => AccountKeyForm::Hash,
    }
}

/// `v1.12.1-stable-...` as numbers.
fn parse_version(part: &str) -> Option<(u64, u64, u64)> {
    let number = part.strip_prefix('v')?.split(['-', '+']).next()?;
    let mut fields = number.split('.').map(str::parse::<u64>);
    let (Some(Ok(major)), Some(Ok(minor)), Some(Ok(patch))) = (fields.next(), fields.next(), fields.next())
    else {
        return None;
    };
    Some((major, minor, patch))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn geth_changed_its_mind_in_1_12_1() {
        assert_eq!(form_of("Geth/v1.10.26-stable-e5eb32ac/linux-amd64/go1.18.5"), AccountKeyForm::Hash);
        assert_eq!(form_of("Geth/v1.12.0-stable/linux-amd64/go1.20"), AccountKeyForm::Hash);
        assert_eq!(form_of("Geth/v1.12.1-unstable/linux-amd64/go1.20"), AccountKeyForm::Address);
        assert_eq!(form_of("Geth/mynode/v1.13.5-stable/linux-amd64/go1.21"), AccountKeyForm::Address);
        assert_eq!(form_of("CoreGeth/v1.12.13-stable/linux-amd64/go1.20"), AccountKeyForm::Hash);
        assert_eq!(form_of("CoreGeth/v1.12.19-stable/linux-amd64/go1.20"), AccountKeyForm::Address);
        assert_eq!(form_of("ethereumjs-devp2p/linux"), AccountKeyForm::Hash);
        assert_eq!(form_of(""), AccountKeyForm::Hash);
    }
}
