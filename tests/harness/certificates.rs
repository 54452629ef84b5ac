//! A certificate authority of a test's own.

use openssl::{
    asn1::Asn1Time,
    bn::{BigNum, MsbOption},
    ec::{EcGroup, EcKey},
    hash::MessageDigest,
    nid::Nid,
    pkey::{PKey, Private},
    x509::{
        X509, X509Builder, X509Name,
        extension::{BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectAlternativeName},
    },
};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// It signs certificates of the loopback address.
pub(crate) struct Authority {
    certificate: X509,
    key: PKey<Private>,
    directory: PathBuf,
    name: String,
}

/// The files of one certificate, and one with both parts, as HAProxy wants it.
pub(crate) struct Certificate {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
    pub(crate) both: PathBuf,
}

impl Authority {
    /// A new one, whose files are kept in a directory.
    pub(crate) fn new(directory: &Path, name: &str) -> Self {
        let key = new_key();
        let subject = distinguished_name(name);
        let mut builder = builder(&subject, &subject, &key);
        builder
            .append_extension(BasicConstraints::new().critical().ca().build().unwrap())
            .unwrap();
        let usage = KeyUsage::new().critical().key_cert_sign().crl_sign().build();
        builder.append_extension(usage.unwrap()).unwrap();
        builder.sign(&key, MessageDigest::sha256()).unwrap();
        let authority = Self {
            certificate: builder.build(),
            key,
            directory: directory.to_owned(),
            name: name.to_owned(),
        };
        fs::write(authority.file(), authority.certificate.to_pem().unwrap()).unwrap();
        authority
    }

    /// The file that makes others trust it.
    pub(crate) fn file(&self) -> PathBuf {
        self.directory.join(format!("{}.pem", self.name))
    }

    /// Of a server at 127.0.0.1, or of a client.
    pub(crate) fn issue(&self, name: &str) -> Certificate {
        let key = new_key();
        let issuer = self.certificate.subject_name().to_owned().unwrap();
        let mut builder = builder(&distinguished_name(name), &issuer, &key);
        let names = SubjectAlternativeName::new()
            .ip("127.0.0.1")
            .dns("localhost")
            .build(&builder.x509v3_context(Some(&self.certificate), None))
            .unwrap();
        let usage = ExtendedKeyUsage::new()
            .server_auth()
            .client_auth()
            .build()
            .unwrap();
        for extension in [names, usage, BasicConstraints::new().build().unwrap()] {
            builder.append_extension(extension).unwrap();
        }
        builder.sign(&self.key, MessageDigest::sha256()).unwrap();
        let certificate = builder.build().to_pem().unwrap();
        let key = key.private_key_to_pem_pkcs8().unwrap();

        let write = |suffix: &str, bytes: &[u8]| {
            let path = self.directory.join(format!("{}-{name}{suffix}", self.name));
            fs::write(&path, bytes).unwrap();
            path
        };
        Certificate {
            both: write(".both.pem", &[certificate.clone(), key.clone()].concat()),
            certificate: write(".crt", &certificate),
            key: write(".key", &key),
        }
    }
}

fn new_key() -> PKey<Private> {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap()
}

fn distinguished_name(name: &str) -> X509Name {
    let mut builder = X509Name::builder().unwrap();
    builder.append_entry_by_nid(Nid::COMMONNAME, name).unwrap();
    builder.build()
}

fn builder(subject: &X509Name, issuer: &X509Name, key: &PKey<Private>) -> X509Builder {
    let mut builder = X509::builder().unwrap();
    builder.set_version(2).unwrap();
    let mut serial = BigNum::new().unwrap();
    serial.rand(127, MsbOption::MAYBE_ZERO, false).unwrap();
    builder
        .set_serial_number(&serial.to_asn1_integer().unwrap())
        .unwrap();
    builder.set_subject_name(subject).unwrap();
    builder.set_issuer_name(issuer).unwrap();
    // A clock that is a little behind elsewhere is no reason to fail.
    let begin = std::time::SystemTime::now() - std::time::Duration::from_secs(3600);
    let begin = begin.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let begin = Asn1Time::from_unix(i64::try_from(begin).unwrap()).unwrap();
    builder.set_not_before(&begin).unwrap();
    builder
        .set_not_after(&Asn1Time::days_from_now(2).unwrap())
        .unwrap();
    builder.set_pubkey(key).unwrap();
    builder
}
