//! What is stored: a version byte, then postcard. Reading checks everything, for a disk may have changed it.
//!
//! A field is never added to or taken from a version: a new version is, and the old ones stay readable.

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::model::{Name, Project, ProjectId, Roles, User, UserId};
use super::password::PasswordHash;
use super::tokens::{Method, Token};

const V1: u8 = 1;

/// A record that cannot be what was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadRecord {
    /// Written by a later version.
    #[error("record version {0} is of a later saccade")]
    Version(u8),
    /// Anything else.
    #[error("damaged record")]
    Damaged,
}

#[derive(Serialize, Deserialize)]
struct UserV1<'a> {
    name: &'a str,
    password: &'a str,
    enabled: bool,
    default_project: Option<[u8; 16]>,
    generation: u32,
}

#[derive(Serialize, Deserialize)]
struct ProjectV1<'a> {
    name: &'a str,
    enabled: bool,
}

#[derive(Serialize, Deserialize)]
struct TokenV1 {
    user: [u8; 16],
    project: Option<[u8; 16]>,
    issued_at: u64,
    expires_at: u64,
    by_token: bool,
    audit: [u8; 16],
    audit_chain: Option<[u8; 16]>,
    generation: u32,
}

fn encode<T: Serialize>(record: &T) -> Result<Vec<u8>, BadRecord> {
    postcard::to_extend(record, vec![V1]).map_err(|_| BadRecord::Damaged)
}

fn body(bytes: &[u8]) -> Result<&[u8], BadRecord> {
    match bytes.split_first() {
        Some((&V1, body)) => Ok(body),
        Some((&version, _)) if version > V1 => Err(BadRecord::Version(version)),
        _ => Err(BadRecord::Damaged),
    }
}

fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, BadRecord> {
    match postcard::take_from_bytes(body(bytes)?) {
        Ok((record, [])) => Ok(record),
        _ => Err(BadRecord::Damaged),
    }
}

fn decode_owned<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, BadRecord> {
    decode(bytes)
}

pub(super) fn encode_user(user: &User) -> Result<Vec<u8>, BadRecord> {
    encode(&UserV1 {
        name: user.name.as_str(),
        password: user.password.as_str(),
        enabled: user.enabled,
        default_project: user.default_project.map(|id| *id.as_bytes()),
        generation: user.generation,
    })
}

pub(super) fn decode_user(id: UserId, bytes: &[u8]) -> Result<User, BadRecord> {
    let record: UserV1<'_> = decode(bytes)?;
    Ok(User {
        id,
        name: Name::parse(record.name).map_err(|_| BadRecord::Damaged)?,
        password: PasswordHash::parse(record.password).ok_or(BadRecord::Damaged)?,
        enabled: record.enabled,
        default_project: record.default_project.map(ProjectId::from_bytes),
        generation: record.generation,
    })
}

pub(super) fn encode_project(project: &Project) -> Result<Vec<u8>, BadRecord> {
    encode(&ProjectV1 {
        name: project.name.as_str(),
        enabled: project.enabled,
    })
}

pub(super) fn decode_project(id: ProjectId, bytes: &[u8]) -> Result<Project, BadRecord> {
    let record: ProjectV1<'_> = decode(bytes)?;
    let name = Name::parse(record.name).map_err(|_| BadRecord::Damaged)?;
    Ok(Project {
        id,
        name,
        enabled: record.enabled,
    })
}

pub(super) fn encode_roles(roles: Roles) -> Vec<u8> {
    vec![V1, roles.bits()]
}

pub(super) fn decode_roles(bytes: &[u8]) -> Result<Roles, BadRecord> {
    match body(bytes)? {
        [bits] => Roles::from_bits(*bits).ok_or(BadRecord::Damaged),
        _ => Err(BadRecord::Damaged),
    }
}

pub(super) fn encode_token(token: &Token) -> Result<Vec<u8>, BadRecord> {
    encode(&TokenV1 {
        user: *token.user.as_bytes(),
        project: token.project.map(|id| *id.as_bytes()),
        issued_at: token.issued_at,
        expires_at: token.expires_at,
        by_token: token.method == Method::PasswordThenToken,
        audit: token.audit,
        audit_chain: token.audit_chain,
        generation: token.generation,
    })
}

pub(super) fn decode_token(bytes: &[u8]) -> Result<Token, BadRecord> {
    let record: TokenV1 = decode_owned(bytes)?;
    Ok(Token {
        user: UserId::from_bytes(record.user),
        project: record.project.map(ProjectId::from_bytes),
        issued_at: record.issued_at,
        expires_at: record.expires_at,
        method: if record.by_token {
            Method::PasswordThenToken
        } else {
            Method::Password
        },
        audit: record.audit,
        audit_chain: record.audit_chain,
        generation: record.generation,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::model::Role;
    use super::*;

    const HASH: &str = "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$RdescudvJCsgt3ub+b6dWRWJTmaaJObG2BP2cBo9yyM";

    fn user() -> User {
        User {
            id: UserId::from_bytes([1; 16]),
            name: Name::parse("ada").unwrap(),
            password: PasswordHash::parse(HASH).unwrap(),
            enabled: true,
            default_project: Some(ProjectId::from_bytes([2; 16])),
            generation: 300,
        }
    }

    fn token() -> Token {
        Token {
            user: UserId::from_bytes([1; 16]),
            project: Some(ProjectId::from_bytes([2; 16])),
            issued_at: 1_800_000_000,
            expires_at: 1_800_003_600,
            method: Method::PasswordThenToken,
            audit: [3; 16],
            audit_chain: None,
            generation: 300,
        }
    }

    #[test]
    fn keeps_version_1_of_a_user() {
        let mut golden = b"\x01\x03ada".to_vec();
        golden.push(HASH.len() as u8);
        golden.extend(HASH.as_bytes());
        golden.extend(b"\x01\x01");
        golden.extend([2; 16]);
        golden.extend(b"\xac\x02");
        assert_eq!(encode_user(&user()).unwrap(), golden);
        assert_eq!(decode_user(UserId::from_bytes([1; 16]), &golden), Ok(user()));
    }

    #[test]
    fn keeps_version_1_of_a_project_and_of_roles() {
        let project = Project {
            id: ProjectId::from_bytes([2; 16]),
            name: Name::parse("demo").unwrap(),
            enabled: true,
        };
        assert_eq!(encode_project(&project).unwrap(), b"\x01\x04demo\x01");
        assert_eq!(decode_project(project.id, b"\x01\x04demo\x01"), Ok(project));
        let roles = Roles::of(Role::Admin).with(Role::Service);
        assert_eq!(encode_roles(roles), b"\x01\x09");
        assert_eq!(decode_roles(b"\x01\x09"), Ok(roles));
        assert_eq!(decode_roles(b"\x01\x10"), Err(BadRecord::Damaged));
    }

    #[test]
    fn keeps_version_1_of_a_token() {
        let mut golden = vec![1];
        golden.extend([1; 16]);
        golden.push(1);
        golden.extend([2; 16]);
        golden.extend(b"\x80\xa4\xa7\xda\x06\x90\xc0\xa7\xda\x06\x01");
        golden.extend([3; 16]);
        golden.extend(b"\x00\xac\x02");
        assert_eq!(encode_token(&token()).unwrap(), golden);
        assert_eq!(decode_token(&golden), Ok(token()));
    }

    #[test]
    fn refuses_a_later_version_and_trailing_bytes() {
        let mut bytes = encode_token(&token()).unwrap();
        bytes.push(0);
        assert_eq!(decode_token(&bytes), Err(BadRecord::Damaged));
        assert_eq!(decode_token(b"\x02"), Err(BadRecord::Version(2)));
        assert_eq!(decode_token(b""), Err(BadRecord::Damaged));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_record_or_refused(mut bytes in proptest::collection::vec(any::<u8>(), 0..200), v1: bool) {
            if let (true, Some(first)) = (v1, bytes.first_mut()) {
                *first = V1;
            }
            let _ = decode_user(UserId::from_bytes([0; 16]), &bytes);
            let _ = decode_project(ProjectId::from_bytes([0; 16]), &bytes);
            let _ = decode_roles(&bytes);
            if let Ok(token) = decode_token(&bytes) {
                prop_assert_eq!(decode_token(&encode_token(&token).unwrap()), Ok(token));
            }
        }
    }
}
