"""What changes while the real Envoy runs: certificates, trust, keys, clients (ZT-01, ZT-25)."""

from cloister import sidecar
from tests.gate.identities import Authority, Leaf
from tests.gate.model import (
    FRONTEND,
    MODELS,
    NIGHTLY,
    OTHER_PROVIDER,
    OUR_CA,
    OWN,
    PROVIDER,
    bearer,
    inference_files,
    model,
    refused_handshake,
    spiffe,
    start,
    status,
)
from tests.gate.running import mounted_gate, running, until


class TestChange:
    """Certificates, trust and clients change while Envoy runs."""

    def test_a_new_client_needs_no_restart(self) -> None:
        with start(model()) as gate:
            context = gate.context(OUR_CA.issue(spiffe("new", "one")), OUR_CA.pem)
            known = gate.context(OUR_CA.issue(NIGHTLY), OUR_CA.pem)
            refused_handshake(gate, context)
            spec = model()
            client = {"namespace": "new", "serviceAccount": "one", "users": "NotRequired", "apis": ["models"]}
            spec["inference"]["clients"].append(client)
            gate.mounted.configure(inference_files(spec))
            until(lambda: status(gate, context, "GET", MODELS) == 200, "the new client")
            assert gate.ask(known).status == 200

            gone = model()
            gone["inference"]["clients"] = gone["inference"]["clients"][:1]
            gate.mounted.configure(inference_files(gone))
            until(lambda: status(gate, known) is None, "the end of a client")

    def test_new_keys_of_the_identity_provider(self) -> None:
        with start(model()) as gate:
            site = gate.context(OUR_CA.issue(FRONTEND), OUR_CA.pem)
            assert gate.ask(site, headers=bearer(PROVIDER.token())).status == 200
            assert gate.ask(site, headers=bearer(OTHER_PROVIDER.token())).status == 401
            gate.mounted.configure(inference_files(model(), OTHER_PROVIDER.jwks()))
            until(lambda: gate.ask(site, headers=bearer(OTHER_PROVIDER.token())).status == 200, "the new keys")
            assert gate.ask(site, headers=bearer(PROVIDER.token())).status == 401

    def test_a_new_flow_needs_no_restart(self) -> None:
        """A listener and the cluster that it names come together, in two files."""
        spec = model()
        weights = spec["inference"].pop("model")
        with start(spec) as gate:
            assert not gate.mounted.exists(sidecar.FETCH_SOCKET)
            spec["inference"]["model"] = weights
            gate.mounted.configure(inference_files(spec))
            until(lambda: gate.mounted.exists(sidecar.FETCH_SOCKET), "the new way out")
            path = f"/checkpoints/{weights['object']}"
            assert gate.over(sidecar.FETCH_SOCKET, target=path).status == 503, "its address is not known yet"
            assert gate.over(sidecar.FETCH_SOCKET, target=path + "2").status == 403

    def test_trust_and_leaf_rotate(self) -> None:
        next_ca = Authority("next generation")
        with start(model()) as gate:
            old = gate.context(OUR_CA.issue(NIGHTLY), OUR_CA.pem)
            new = gate.context(next_ca.issue(NIGHTLY), OUR_CA.pem)
            refused_handshake(gate, new)
            gate.mounted.trust(OUR_CA.pem, next_ca.pem)
            until(lambda: status(gate, new) == 200, "both generations")
            assert gate.ask(old).status == 200

            leaf = next_ca.issue(OWN)
            gate.mounted.identify(leaf.chain, leaf.key)
            moved = gate.context(next_ca.issue(NIGHTLY), next_ca.pem)
            until(lambda: status(gate, moved) == 200, "the new leaf")

            gate.mounted.trust(next_ca.pem)
            old_on_new = gate.context(OUR_CA.issue(NIGHTLY), next_ca.pem)
            until(lambda: status(gate, old_on_new) is None, "the end of the old generation")
            assert gate.ask(moved).status == 200

    def test_an_intermediate_is_an_anchor(self) -> None:
        """With `issuerRef` the deployment's CA is signed by the user's; siblings below that root stay strangers."""
        root = Authority("company root")
        ours, sibling = Authority("ours", root), Authority("sibling", root)
        with start(model(), ours.issue(OWN)) as gate:
            gate.mounted.trust(ours.pem)
            good = gate.context(ours.issue(NIGHTLY), ours.pem)
            until(lambda: status(gate, good) == 200, "the intermediate as anchor")
            refused_handshake(gate, gate.context(sibling.issue(NIGHTLY), ours.pem))
            stranger = sibling.issue(NIGHTLY)
            chained = Leaf(stranger.chain + sibling.pem + root.pem, stranger.key)
            refused_handshake(gate, gate.context(chained, ours.pem))

    def test_without_a_bundle_nobody_is_trusted_until_it_comes(self) -> None:
        leaf = OUR_CA.issue(OWN)
        with mounted_gate() as mounted:
            mounted.identify(leaf.chain, leaf.key)
            mounted.trust()
            mounted.configure(inference_files(model()))
            with running(mounted) as gate:
                context = gate.context(OUR_CA.issue(NIGHTLY), OUR_CA.pem)
                refused_handshake(gate, context)
                mounted.trust(OUR_CA.pem)
                until(lambda: status(gate, context) == 200, "the bundle")

    def test_a_broken_update_changes_nothing(self) -> None:
        with start(model()) as gate:
            context = gate.context(OUR_CA.issue(NIGHTLY), OUR_CA.pem)
            broken = inference_files(model())
            broken["listeners.json"]["resources"][0]["nonsense"] = True
            gate.mounted.configure(broken)
            until(lambda: "nonsense" in gate.log(), "the refusal in the log")
            assert gate.ask(context).status == 200
