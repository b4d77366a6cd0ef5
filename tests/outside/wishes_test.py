"""What an owner asks a vehicle for comes before everything else, over whatever the policy lets go, and the owner is told; with the
real client. Who may ask, how much, and what ends a wish."""

import pathlib
import random
import subprocess
import unittest

from vault import PROGRAM, Vault

# As the vault says: more at once would be no order any more.
MOST_OPEN = 32


class Wishes(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.vault = cls.enterClassContext(Vault("--cellular-routine", "small"))

    def setUp(self):
        self.name = self.id().rsplit(".test_", 1)[1][:30]
        self.token = self.vault.owner(f"{self.name}@example.org")
        self.device = self.vault.device(self.token, self.name)
        self.card = self.vault.dir / f"{self.name}-card"

    def record(self, name, size):
        path = self.card / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(random.randbytes(size))
        return path

    def courier(self, *more):
        """Everything that may go over cellular now; the lines told."""
        return self.vault.run("upload", "--server", self.vault.url, "--device", self.device, "--watch", self.card, "--once", "--json",
                              "--settle-secs", "0", "--look-millis", "50", "--link", "cellular", *more)

    def told(self, lines, event):
        return [str(pathlib.Path(line["file"]).relative_to(self.card)) for line in lines if line.get("event") == event]

    def ask(self, method, clip, token=None):
        return self.vault.request(method, f"/v1/clips/{clip}/wish", token or self.token)

    def policy(self, **headers):
        return self.vault.request("GET", "/v1/vehicle/policy", self.vault.device_token(self.device), **headers)

    def clip_of(self, lines, name):
        return next(line["clip_id"] for line in lines if line["event"] == "delivered" and line["file"].endswith(name))

    def test_what_was_wished_for_comes_first_even_before_an_event_and_over_cellular(self):
        for name in ("1/small/a.mp4", "1/small/b.mp4"):
            self.record(name, 20_000)
        wished = self.record("1/full/b.mp4", 300_000)
        self.record("1/full/a.mp4", 300_000)
        lines = self.courier("--delete")
        self.assertEqual(self.told(lines, "sent"), ["1/small/a.mp4", "1/small/b.mp4"], "the full ones wait for another link")
        before = self.policy()
        small = self.clip_of(lines, "b.mp4")
        made = self.ask("POST", small)
        self.assertEqual((made.status, made.json["state"]), (200, "open"))
        self.assertEqual(self.ask("POST", small).json, made.json, "asked twice is one wish")
        after = self.policy(If_None_Match=before.headers["ETag"])
        self.assertEqual((after.status, after.json["wishes"]), (200, [{"clip_id": small}]))
        self.assertEqual(self.policy(If_None_Match=after.headers["ETag"]).status, 304)

        for name in ("2/event/crash.mp4", "2/event/small/crash.mp4", "2/small/c.mp4"):
            self.record(name, 50_000)
        plain = wished.read_bytes()
        lines = self.courier("--delete")
        order = self.told(lines, "sent")
        self.assertEqual(order, ["1/full/b.mp4", "2/event/small/crash.mp4", "2/event/crash.mp4", "2/small/c.mp4"])
        self.assertFalse(wished.exists(), "deleted with its receipt")
        answered = self.ask("GET", small).json
        self.assertEqual(answered["state"], "come")
        original = self.vault.request("GET", f"/v1/clips/{answered['answer_clip_id']}/original", self.token)
        self.assertEqual(original.body, plain)
        self.assertEqual(self.policy().json["wishes"], [])
        self.assertEqual(self.policy(If_None_Match=before.headers["ETag"]).status, 304, "as before the wish")

    def test_a_vehicle_that_holds_no_more_says_so_and_a_wish_is_taken_back_by_its_owner_alone(self):
        self.record("small/a.mp4", 20_000)
        self.record("small/b.mp4", 20_000)
        lines = self.courier()
        a, b = self.clip_of(lines, "a.mp4"), self.clip_of(lines, "b.mp4")
        stranger = self.vault.owner(f"stranger-{self.name}@example.org")
        for method in ("POST", "GET", "DELETE"):
            self.assertEqual(self.ask(method, a, stranger).status, 404)
        self.assertEqual(self.ask("GET", a).status, 404)
        self.assertEqual([self.ask("POST", clip).status for clip in (a, b)], [200, 200])
        self.assertEqual(self.ask("DELETE", b, stranger).status, 404)
        self.assertEqual(self.ask("DELETE", b).status, 204)
        other = self.vault.device(stranger, f"other-{self.name}")
        answer = {"clip_id": a}
        forged = self.vault.request("POST", f"/v1/vehicle/wishes/{a}", self.vault.device_token(other), answer)
        self.assertEqual(forged.status, 404, "another vehicle answers nothing")
        strangers = self.vault.upload(other, self.record("../strangers.mp4", 5_000))["clip_id"]
        answer = {"clip_id": strangers}
        forged = self.vault.request("POST", f"/v1/vehicle/wishes/{a}", self.vault.device_token(self.device), answer)
        self.assertEqual(forged.status, 404, "nor with another's clip")
        self.assertEqual(self.vault.request("POST", f"/v1/vehicle/wishes/{a}", self.token, answer).status, 404)
        self.assertEqual(self.ask("GET", a).json["state"], "open")
        self.courier()
        self.assertEqual(self.ask("GET", a).json["state"], "missing")
        self.assertEqual(self.ask("GET", b).status, 404)
        # Asked again, it is a wish again.
        self.assertEqual(self.ask("POST", a).json["state"], "open")

    def test_a_vehicle_has_only_so_many_open_wishes_and_none_once_it_is_revoked_or_the_clip_is_erased(self):
        for at in range(MOST_OPEN + 1):
            self.record(f"small/{at}.mp4", 1_000 + at)
        lines = self.courier()
        clips = [line["clip_id"] for line in lines if line["event"] == "delivered"]
        self.assertEqual([self.ask("POST", clip).status for clip in clips], [200] * MOST_OPEN + [409])
        self.assertEqual(len(self.policy().json["wishes"]), MOST_OPEN)
        # In the trash it rests; erased, it is gone.
        self.vault.settled(self.token, clips[0])
        self.assertIn(self.vault.request("DELETE", f"/v1/clips/{clips[0]}", self.token).status, (200, 202, 204))
        self.assertEqual(len(self.policy().json["wishes"]), MOST_OPEN - 1)
        vehicle = self.vault.request("GET", "/v1/devices", self.token).json["devices"][0]["id"]
        self.assertEqual(self.vault.request("DELETE", f"/v1/devices/{vehicle}", self.token).status, 204)
        for clip in clips:
            self.assertEqual(self.ask("GET", clip).status, 404)
        self.assertEqual(self.ask("POST", clips[1]).status, 400, "nobody is there to answer it")
        self.vault.run("owner", "erase", "--email", f"{self.name}@example.org", "--yes", "--wait", "--data", self.vault.data)
        self.assertEqual(self.ask("GET", clips[1]).status, 401)

    def test_an_erased_clip_leaves_no_wish_and_no_answer(self):
        self.record("small/a.mp4", 20_000)
        lines = self.courier()
        clip = self.clip_of(lines, "a.mp4")
        self.vault.settled(self.token, clip)
        self.assertEqual(self.ask("POST", clip).status, 200)
        told = self.vault.request("DELETE", f"/v1/clips/{clip}?now=true", self.token)
        self.assertEqual(told.status, 200, told.body)
        self.vault.until(lambda: self.vault.request("GET", f"/v1/clips/{clip}", self.token).status == 404)
        self.assertEqual(self.ask("GET", clip).status, 404)
        self.assertEqual(self.policy().json["wishes"], [])


if __name__ == "__main__":
    unittest.main()
