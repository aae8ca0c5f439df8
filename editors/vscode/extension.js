// Starts `vitrine language-server` for VMI-PL scripts. Without the client library (npm install was
// not run here) highlighting works all the same.
'use strict';

const vscode = require('vscode');

let client;

async function activate(context) {
  let library;
  try {
    library = require('vscode-languageclient/node');
  } catch {
    vscode.window.showInformationMessage(
      `VMI-PL: highlighting only. For the rest: npm install --omit=dev, in ${context.extensionPath}`);
    return;
  }
  const settings = vscode.workspace.getConfiguration('vitrine');
  const kernel = settings.get('kernel');
  const run = {
    command: settings.get('path'),
    args: ['language-server', ...(kernel ? ['--kernel', kernel] : [])],
    transport: library.TransportKind.stdio,
  };
  client = new library.LanguageClient('vitrine', 'Vitrine', run, {documentSelector: [{language: 'vmi'}]});
  try {
    await client.start();
  } catch (error) {
    vscode.window.showErrorMessage(`VMI-PL: ${run.command} language-server did not start: ${error.message}`);
  }
}

function deactivate() {
  return client && client.isRunning() ? client.stop() : undefined;
}

module.exports = {activate, deactivate};
