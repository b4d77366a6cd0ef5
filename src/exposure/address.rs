//! Every form of address that a bucket of an S3 service has.

use std::net::IpAddr;

use super::ask::Address;
use super::judge::Form;

/// The addresses of a bucket at an endpoint, or at AWS.
pub fn of_bucket(endpoint: Option<&str>, region: &str, bucket: &str) -> Vec<Address> {
    let Some(endpoint) = endpoint else {
        return at_aws(region, bucket);
    };
    let endpoint = endpoint.trim_end_matches('/');
    let mut addresses = vec![Address {
        form: Form::PathStyle,
        base: format!("{endpoint}/{bucket}"),
        host: None,
    }];
    let host = endpoint.split_once("://").map_or(endpoint, |(_, host)| host);
    let host = host.split('/').next().unwrap_or(host);
    if !is_number(host) {
        // The endpoint's own address, so that it does not hang on a name service whether this is looked at.
        addresses.push(Address {
            form: Form::VirtualHost,
            base: endpoint.to_owned(),
            host: Some(format!("{bucket}.{host}")),
        });
    }
    addresses
}

/// An address that the operator named.
pub fn configured(base: &str) -> Address {
    Address {
        form: Form::Configured,
        base: base.trim_end_matches('/').to_owned(),
        host: None,
    }
}

fn at_aws(region: &str, bucket: &str) -> Vec<Address> {
    let of = |form, base| Address { form, base, host: None };
    vec![
        of(Form::PathStyle, format!("https://s3.{region}.amazonaws.com/{bucket}")),
        of(Form::VirtualHost, format!("https://{bucket}.s3.{region}.amazonaws.com")),
        // One of the two is a region's; the other has no name.
        of(
            Form::Website,
            format!("http://{bucket}.s3-website.{region}.amazonaws.com"),
        ),
        of(
            Form::Website,
            format!("http://{bucket}.s3-website-{region}.amazonaws.com"),
        ),
    ]
}

fn is_number(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_has_these_addresses() {
        let bases = |addresses: Vec<Address>| -> Vec<_> {
            let all = addresses.into_iter();
            all.map(|a| (a.form, a.base, a.host)).collect()
        };
        let path = |base: &str| (Form::PathStyle, base.to_owned(), None);
        for number in ["http://127.0.0.1:8333", "http://127.0.0.1:8333/", "http://[::1]:8333"] {
            let base = format!("{}/clips", number.trim_end_matches('/'));
            assert_eq!(bases(of_bucket(Some(number), "r", "clips")), [path(&base)]);
        }
        assert_eq!(
            bases(of_bucket(Some("https://s3.example.org"), "r", "clips")),
            [
                path("https://s3.example.org/clips"),
                (
                    Form::VirtualHost,
                    "https://s3.example.org".to_owned(),
                    Some("clips.s3.example.org".to_owned())
                )
            ]
        );
        assert_eq!(of_bucket(None, "eu-west-1", "clips").len(), 4);
    }
}
