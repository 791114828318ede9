// Package smnsdk holds SMN's stand-in, and the client of SMN here, against Huawei's official SDK for Python: `make smn`. The SDK
// publishes to the stand-in, which verifies its signature; and the SDK's signer makes the signature that the client makes.
package smnsdk
