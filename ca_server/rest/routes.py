"""Every route of this door and the action it is; with a route that is not here nothing starts (R21)."""

from __future__ import annotations

from ca_server.core.roles import Action

ACTIONS: dict[str, Action] = {
    "certificate_requests.create_certificate_request": Action.REQUEST_CERTIFICATE,
    "certificate_requests.list_certificate_requests": Action.READ_REQUEST,
    "certificate_requests.show_certificate_request": Action.READ_REQUEST,
    "approvals.create_approval": Action.DECIDE_REQUEST,
    "certificates.list_certificates": Action.READ_CERTIFICATE,
    "certificates.show_certificate": Action.READ_CERTIFICATE,
    "revocation.revoke": Action.REVOKE_CERTIFICATE,
    "revocation.release": Action.RELEASE_CERTIFICATE,
    "profiles.list_profiles": Action.READ_PROFILE,
    "profiles.show_profile": Action.READ_PROFILE,
    "authorities.list_authorities": Action.READ_AUTHORITY,
    "authorities.show_authority": Action.READ_AUTHORITY,
    "audit_events.list_audit_events": Action.READ_AUDIT_EVENT,
    "acme_accounts.list_acme_accounts": Action.READ_ACCOUNT,
    "acme_accounts.show_acme_account": Action.READ_ACCOUNT,
    "acme_accounts.deactivate_acme_account": Action.DEACTIVATE_ACCOUNT,
    "acme_orders.list_acme_orders": Action.READ_ORDER,
    "acme_orders.show_acme_order": Action.READ_ORDER,
    "acme_pauses.unpause": Action.UNPAUSE_ACCOUNT,
    "external_account_keys.create_external_account_key": Action.CREATE_EXTERNAL_ACCOUNT_KEY,
    "external_account_keys.list_external_account_keys": Action.READ_EXTERNAL_ACCOUNT_KEY,
    "external_account_keys.revoke_external_account_key": Action.REVOKE_EXTERNAL_ACCOUNT_KEY,
    "enrolment_secrets.create_enrolment_secret": Action.CREATE_ENROLMENT_SECRET,
    "enrolment_secrets.list_enrolment_secrets": Action.READ_ENROLMENT_SECRET,
    "enrolment_secrets.revoke_enrolment_secret": Action.REVOKE_ENROLMENT_SECRET,
    "renewal_flags.create_renewal_flag": Action.CREATE_RENEWAL_FLAG,
    "renewal_flags.list_renewal_flags": Action.READ_RENEWAL_FLAG,
    "renewal_flags.end_renewal_flag": Action.END_RENEWAL_FLAG,
    "api_tokens.create_api_token": Action.CREATE_TOKEN,
    "api_tokens.list_api_tokens": Action.READ_TOKEN,
    "api_tokens.revoke_api_token": Action.REVOKE_TOKEN,
    "client_grants.create_client_grant": Action.CREATE_GRANT,
    "client_grants.list_client_grants": Action.READ_GRANT,
    "client_grants.revoke_client_grant": Action.REVOKE_GRANT,
}
