// Colours scripts with the engine that VS Code itself uses, for tests/highlighting.py:
// node tests/textmate.cjs MODULES GRAMMAR < {"name": "text", ...}; MODULES has vscode-textmate
// and vscode-oniguruma. Prints {"name": [[scope of each character of a line, ...], ...], ...}.
const fs = require('fs');
const [modules, grammar] = process.argv.slice(2);
const textmate = require(`${modules}/vscode-textmate`);
const oniguruma = require(`${modules}/vscode-oniguruma`);

async function main() {
  await oniguruma.loadWASM(fs.readFileSync(`${modules}/vscode-oniguruma/release/onig.wasm`).buffer);
  const registry = new textmate.Registry({
    onigLib: Promise.resolve({
      createOnigScanner: (patterns) => new oniguruma.OnigScanner(patterns),
      createOnigString: (text) => new oniguruma.OnigString(text),
    }),
    loadGrammar: async () => textmate.parseRawGrammar(fs.readFileSync(grammar, 'utf8'), grammar),
  });
  const language = await registry.loadGrammar('source.vmi');
  const out = {};
  for (const [name, text] of Object.entries(JSON.parse(fs.readFileSync(0, 'utf8')))) {
    let state = textmate.INITIAL;
    out[name] = text.split('\n').map((line) => {
      const done = language.tokenizeLine(line, state);
      state = done.ruleStack;
      // Begin of each run, and its outermost scope within the language.
      return done.tokens.map((token) => [token.startIndex, token.scopes[1] ?? null]);
    });
  }
  process.stdout.write(JSON.stringify(out));
}
main();
