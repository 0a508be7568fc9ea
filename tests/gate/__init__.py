"""What the tests of the gate share: identities, tokens, mounted directories, and the real Envoy on them."""
