//! Makes certificates for tests of TLS: an authority, and those it vouches for. They are valid for
//! a day and for this machine alone, and nothing is kept of them but what a test writes down.

use anyhow::Result;
use openssl::asn1::Asn1Time;
use openssl::bn::{BigNum, MsbOption};
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::x509::extension::{BasicConstraints, KeyUsage, SubjectAlternativeName};
use openssl::x509::{X509, X509Builder, X509Name, X509NameRef};

/// Who vouches for certificates.
#[derive(Debug)]
pub struct Authority {
    certificate: X509,
    key: PKey<Private>,
}

/// A certificate and its key, both as PEM.
#[derive(Debug)]
pub struct Issued {
    /// The certificate, without that of the authority.
    pub certificate: String,
    /// Its key, in PKCS #8, which is what Kafka reads.
    pub key: String,
}

impl Authority {
    /// A new one, which nobody knows yet.
    ///
    /// # Errors
    ///
    /// When the library refuses.
    pub fn new(name: &str) -> Result<Self> {
        let (key, subject) = (key()?, named(name)?);
        let mut building = begun(&subject, &subject, &key)?;
        building.append_extension(BasicConstraints::new().critical().ca().build()?)?;
        building.append_extension(KeyUsage::new().critical().key_cert_sign().build()?)?;
        building.sign(&key, MessageDigest::sha256())?;
        Ok(Self { certificate: building.build(), key })
    }

    /// What somebody needs who is to believe it.
    ///
    /// # Errors
    ///
    /// When the library refuses.
    pub fn pem(&self) -> Result<String> {
        Ok(String::from_utf8(self.certificate.to_pem()?)?)
    }

    /// A certificate for `CN=name`, who is also this machine as its brokers are called.
    ///
    /// # Errors
    ///
    /// When the library refuses.
    pub fn issue(&self, name: &str) -> Result<Issued> {
        let key = key()?;
        let subject = named(name)?;
        let mut building = begun(&subject, self.certificate.subject_name(), &key)?;
        let here = SubjectAlternativeName::new()
            .ip("127.0.0.1")
            .build(&building.x509v3_context(Some(&self.certificate), None))?;
        building.append_extension(here)?;
        building.sign(&self.key, MessageDigest::sha256())?;
        Ok(Issued {
            certificate: String::from_utf8(building.build().to_pem()?)?,
            key: String::from_utf8(key.private_key_to_pem_pkcs8()?)?,
        })
    }
}

fn key() -> Result<PKey<Private>> {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?;
    Ok(PKey::from_ec_key(EcKey::generate(&group)?)?)
}

fn named(name: &str) -> Result<X509Name> {
    let mut building = X509Name::builder()?;
    building.append_entry_by_nid(Nid::COMMONNAME, name)?;
    Ok(building.build())
}

/// All but what sets one apart from another, and the signature.
fn begun(subject: &X509NameRef, issuer: &X509NameRef, key: &PKey<Private>) -> Result<X509Builder> {
    let mut building = X509::builder()?;
    let mut serial = BigNum::new()?;
    serial.rand(127, MsbOption::MAYBE_ZERO, false)?;
    let serial = serial.to_asn1_integer()?;
    let (from, to) = (Asn1Time::days_from_now(0)?, Asn1Time::days_from_now(1)?);
    // Numbered from 0: this is version 3, the one with extensions (source: RFC 5280, 4.1).
    building.set_version(2)?;
    building.set_serial_number(&serial)?;
    building.set_subject_name(subject)?;
    building.set_issuer_name(issuer)?;
    building.set_pubkey(key)?;
    building.set_not_before(&from)?;
    building.set_not_after(&to)?;
    Ok(building)
}
