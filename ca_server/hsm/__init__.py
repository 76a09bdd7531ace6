"""The one door to PKCS#11."""
