// Holds a Dappnode package against the validators that Dappnode publishes: `node validate.mjs DIRECTORY`.
// Each file gets its own line; exit code 1 if one of them is refused.
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import process from "node:process";
import {
  validateComposeSchema,
  validateDappnodeCompose,
  validateManifestSchema,
  validateSetupWizardSchema,
} from "@dappnode/schemas";
import yaml from "js-yaml";

const folder = resolve(process.argv[2] ?? "..");
const path = (name) => join(folder, name);
const read = (name) => readFileSync(path(name), "utf8");
const manifest = () => JSON.parse(read("dappnode_package.json"));

const checks = {
  "dappnode_package.json": () => validateManifestSchema(manifest()),
  "docker-compose.yml, by docker-compose": () => validateComposeSchema(path("docker-compose.yml")),
  "docker-compose.yml, by Dappnode's rules": () =>
    validateDappnodeCompose(yaml.load(read("docker-compose.yml")), manifest()),
  "setup-wizard.yml": () => validateSetupWizardSchema(yaml.load(read("setup-wizard.yml"))),
};

let refused = 0;
for (const [name, check] of Object.entries(checks)) {
  try {
    await check();
    console.log(`ok   ${name}`);
  } catch (error) {
    refused += 1;
    console.error(`FAIL ${name}: ${error.message}`);
  }
}
process.exit(refused === 0 ? 0 : 1);
