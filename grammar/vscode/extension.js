// Starts `nexort lsp`, where vscode-languageclient is installed (npm install in this folder). Without it colours, indentation and snippets work all the same.
let client;

exports.activate = async (context) => {
  let library;
  try {
    library = require("vscode-languageclient/node");
  } catch {
    return;
  }
  const command = require("vscode").workspace.getConfiguration("nexort").get("command");
  const server = { command, args: ["lsp"] };
  client = new library.LanguageClient("nexort", "nexort", server, { documentSelector: [{ language: "nexort" }] });
  context.subscriptions.push(client);
  await client.start();
};

exports.deactivate = () => client?.stop();
