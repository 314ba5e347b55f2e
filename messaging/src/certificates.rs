//! Files of certificates, for adapters.

use std::path::Path;

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use crate::BrokerError;

/// Reads a PEM file of certificates, and checks that it has one. For adapters: client libraries tell of a bad file late, by a
/// panic, or not at all. It blocks while the file is read.
///
/// # Errors
/// [`BrokerError::Invalid`] names the file, and shows nothing of its content.
///
/// ```
/// let error = recount_messaging::read_certificates("missing.pem".as_ref()).unwrap_err();
/// assert!(error.to_string().contains("missing.pem"));
/// ```
pub fn read_certificates(file: &Path) -> Result<Vec<u8>, BrokerError> {
    let invalid =
        |cure: String| BrokerError::Invalid { kind: "file of certificates", value: file.display().to_string(), cure };
    let pem = std::fs::read(file).map_err(|error| invalid(format!("name a readable PEM file: {error}")))?;
    let certificates = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
    match certificates.map(|all| all.len()) {
        Ok(0) => Err(invalid("name a PEM file that has a certificate".to_owned())),
        Ok(_) => Ok(pem),
        Err(_) => Err(invalid("a certificate in it is damaged: name a whole PEM file".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_a_whole_certificate_is_named_and_not_shown() {
        let directory = std::env::temp_dir().join(format!("recount-certificates-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let (file, read) = (directory.join("ca.pem"), |file: &Path| read_certificates(file));
        for text in ["", "hunter2", "-----BEGIN CERTIFICATE-----\nhunter2?\n-----END CERTIFICATE-----\n"] {
            std::fs::write(&file, text).unwrap();
            let error = read(&file).unwrap_err();
            let text = format!("{error} {error:?}");
            assert!(text.contains("ca.pem") && !text.contains("hunter2"), "{text}");
        }
        let whole = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
        std::fs::write(&file, whole).unwrap();
        assert_eq!(read(&file).unwrap(), whole.as_bytes());
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
