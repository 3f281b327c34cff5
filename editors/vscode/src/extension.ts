import * as vscode from "vscode";
import { LanguageClient } from "vscode-languageclient/node";

let client: LanguageClient | undefined;

async function start(): Promise<void> {
  const settings = vscode.workspace.getConfiguration("labctl");
  const command = settings.get<string>("path") || "labctl";
  client = new LanguageClient(
    "labctl",
    "labctl",
    { command, args: ["lsp"] },
    {
      documentSelector: [
        { scheme: "file", language: "labctl-lab" },
        { scheme: "file", pattern: "**/*.hcl" },
        { scheme: "file", language: "yaml" },
      ],
      initializationOptions: { lab: settings.get<string>("lab") ?? "" },
    },
  );
  try {
    await client.start();
  } catch (error) {
    client = undefined;
    void vscode.window.showErrorMessage(
      `Cannot start "${command} lsp": ${error instanceof Error ? error.message : String(error)}. Install labctl, or set labctl.path.`,
    );
  }
}

async function stop(): Promise<void> {
  const running = client;
  client = undefined;
  await running?.stop();
}

export async function activate(context: vscode.ExtensionContext): Promise<void> {
  const restart = async () => {
    await stop();
    await start();
  };
  context.subscriptions.push(
    vscode.commands.registerCommand("labctl.restart", restart),
    vscode.workspace.onDidChangeConfiguration((event) => (event.affectsConfiguration("labctl") ? restart() : undefined)),
  );
  await start();
}

export const deactivate = stop;
