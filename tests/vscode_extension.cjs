// The VS Code extension, with doubles of the editor and of its client library: it starts the server
// by its settings, the server tells a script's mistakes, and it is stopped with the extension.
// node tests/vscode_extension.cjs FOLDER VITRINE; FOLDER is editors/vscode.
'use strict';

const assert = require('assert');
const {spawn} = require('child_process');
const Module = require('module');
const path = require('path');

const [folder, vitrine] = process.argv.slice(2);
const settings = {path: vitrine, kernel: ''};
const shown = [];
const vscode = {
  workspace: {getConfiguration: (name) => ({get: (key) => (name === 'vitrine' ? settings[key] : undefined)})},
  window: {showInformationMessage: (text) => shown.push(text), showErrorMessage: (text) => shown.push(text)},
};

/// Speaks to the server as the library does, as far as the extension asks.
class LanguageClient {
  constructor(id, name, run, options) {
    Object.assign(this, {id, name, run, options, pending: new Map(), told: [], next: 1});
    LanguageClient.last = this;
  }
  async start() {
    this.child = spawn(this.run.command, this.run.args, {stdio: ['pipe', 'pipe', 'inherit']});
    await new Promise((good, bad) => this.child.once('spawn', good).once('error', bad));
    let have = Buffer.alloc(0);
    this.child.stdout.on('data', (more) => {
      have = Buffer.concat([have, more]);
      for (;;) {
        const end = have.indexOf('\r\n\r\n');
        if (end < 0) return;
        const size = Number(/Content-Length: (\d+)/.exec(have.subarray(0, end).toString())[1]);
        if (have.length < end + 4 + size) return;
        const message = JSON.parse(have.subarray(end + 4, end + 4 + size).toString());
        have = have.subarray(end + 4 + size);
        if (this.pending.has(message.id)) this.pending.get(message.id)(message.result);
        if (message.method === 'textDocument/publishDiagnostics') this.onDiagnostics(message.params);
      }
    });
    await this.request('initialize', {processId: process.pid, rootUri: null, capabilities: {}});
    this.send({method: 'initialized', params: {}});
  }
  isRunning() {
    return this.child !== undefined && this.child.exitCode === null;
  }
  async stop() {
    const ended = new Promise((resolve) => this.child.once('exit', resolve));
    await this.request('shutdown', null);
    this.send({method: 'exit'});
    return ended;
  }
  send(message) {
    const text = JSON.stringify({jsonrpc: '2.0', ...message});
    this.child.stdin.write(`Content-Length: ${Buffer.byteLength(text)}\r\n\r\n${text}`);
  }
  request(method, params) {
    const id = this.next++;
    this.send({id, method, params});
    return new Promise((resolve) => this.pending.set(id, resolve));
  }
}

const load = Module._load;
let library = true;
Module._load = function (name, ...rest) {
  if (name === 'vscode') return vscode;
  if (name === 'vscode-languageclient/node') {
    if (!library) throw new Error('not installed');
    return {LanguageClient, TransportKind: {stdio: 0}};
  }
  return load.call(this, name, ...rest);
};

async function main() {
  const about = require(path.resolve(folder, 'package.json'));
  const extension = require(path.resolve(folder, about.main));
  const context = {extensionPath: folder};

  library = false;
  await extension.activate(context);
  assert.match(shown.pop(), /highlighting only/);
  assert.strictEqual(extension.deactivate(), undefined);

  library = true;
  settings.path = '/nowhere/vitrine';
  await extension.activate(context);
  assert.match(shown.pop(), /did not start/);

  settings.path = vitrine;
  await extension.activate(context);
  assert.deepStrictEqual(shown, []);
  const client = LanguageClient.last;
  assert.deepStrictEqual(client.options.documentSelector, [{language: about.contributes.languages[0].id}]);
  const diagnostics = new Promise((resolve) => (client.onDiagnostics = resolve));
  client.send({
    method: 'textDocument/didOpen',
    params: {textDocument: {uri: 'file:///a.vmi', languageId: 'vmi', version: 1, text: 'Syscal(openat) { }\n'}},
  });
  const told = await diagnostics;
  assert.strictEqual(told.uri, 'file:///a.vmi');
  assert.strictEqual(told.diagnostics[0].code, 'E050');
  assert.deepStrictEqual(told.diagnostics[0].range, {start: {line: 0, character: 0}, end: {line: 0, character: 6}});
  assert.strictEqual(await extension.deactivate(), 0);
  console.log('the extension starts the server, has its diagnostics, and stops it');
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
setTimeout(() => process.exit(2), 20000).unref();
