-- What the responder may see. Run as sealkeeper_owner, once, after the first `sealkeeper db upgrade`.
GRANT SELECT ON certificate_status, status_watermark TO sealkeeper_ocsp;
