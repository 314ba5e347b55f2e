//! Certificates for the tests of encrypted connections.

use std::fs;
use std::path::PathBuf;

use anyhow::Result;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tempfile::TempDir;

/// An authority of certificates. Its PEM files are gone with it.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    directory: TempDir,
    /// The file of its own certificate, which clients trust.
    pub file: PathBuf,
}

impl Authority {
    /// An authority with a new key.
    ///
    /// # Errors
    /// If the file can't be written.
    pub fn new() -> Result<Self> {
        let mut params = CertificateParams::default();
        // By default it has the name of the certificates, which then pass for ones that have signed themselves.
        params.distinguished_name.push(DnType::CommonName, "authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        let directory = tempfile::tempdir()?;
        let file = directory.path().join("ca.pem");
        fs::write(&file, issuer.pem())?;
        Ok(Self { issuer, directory, file })
    }

    /// The files of a certificate for these hosts, and of its key, of the form PKCS#8.
    ///
    /// # Errors
    /// If a host is none, or a file can't be written.
    pub fn certificate(&self, hosts: &[&str]) -> Result<(PathBuf, PathBuf)> {
        let hosts: Vec<String> = hosts.iter().map(|&host| host.to_owned()).collect();
        let [certificate, key] = ["pem", "key"].map(|end| self.directory.path().join(hosts.join("+") + "." + end));
        let of_host = KeyPair::generate()?;
        fs::write(&certificate, CertificateParams::new(hosts)?.signed_by(&of_host, &self.issuer)?.pem())?;
        fs::write(&key, of_host.serialize_pem())?;
        Ok((certificate, key))
    }
}
