"""The alert rules that the vault ships: each is whole, and names only numbers that a running vault shows."""

import re
import unittest

import yaml

from vault import DIRECT, TOP, Vault

METRIC = re.compile(r"\bdashvault_[a-z0-9_]+")


class Alerts(unittest.TestCase):
    def test_every_rule_is_whole_and_names_what_the_vault_shows(self):
        groups = yaml.safe_load((TOP / "docs" / "alerts.yaml").read_text())["groups"]
        rules = [rule for group in groups for rule in group["rules"]]
        self.assertGreaterEqual(len(rules), 10)
        with Vault() as vault:
            with DIRECT.open(f"http://127.0.0.1:{vault.admin}/metrics", timeout=20) as answer:
                text = answer.read().decode()
        shown = {re.split(r"[{ ]", line)[0] for line in text.splitlines() if line and not line.startswith("#")}
        self.assertTrue(text.endswith("# EOF\n"), text[-200:])
        for rule in rules:
            with self.subTest(rule["alert"]):
                self.assertIn(rule["labels"]["severity"], ("page", "warning"))
                self.assertTrue(rule["annotations"]["summary"])
                names = METRIC.findall(rule["expr"])
                self.assertTrue(names, rule["expr"])
                self.assertLessEqual(set(names), shown)
        self.assertEqual(len({rule["alert"] for rule in rules}), len(rules))
        for line in ('dashvault_exposure_verdict{bucket="data",verdict="private"} 1',
                     'dashvault_write_gate_shut{bucket="data"} 0'):
            self.assertIn(line, text)


if __name__ == "__main__":
    unittest.main()
