// A phone in a browser: registers, calls, is called. Its URL says who it is and whom it calls; what happens
// goes to the console.
import { Web } from "./package/lib/index.js";

const asked = new URLSearchParams(location.search);
const [user, password, server, callee] =
  ["user", "password", "server", "callee"].map((name) => asked.get(name));
const domain = "lab.test";

const say = (...words) => console.log("phone:", ...words);
const happening = new EventTarget();
const tell = (what) => () => {
  say(what);
  happening.dispatchEvent(new Event(what));
};
// To be asked for before it can happen.
const once = (what) =>
  new Promise((done) => happening.addEventListener(what, done, { once: true }));

const phone = new Web.SimpleUser(server, {
  aor: `sip:${user}@${domain}`,
  media: {
    constraints: { audio: true, video: false },
    remote: { audio: document.querySelector("audio") },
  },
  // RFC 5626 and, with an instance, RFC 5627.
  registererOptions: asked.has("instance") ? { regId: 1, instanceId: asked.get("instance") } : {},
  userAgentOptions: {
    authorizationUsername: user,
    authorizationPassword: password,
    contactParams: { transport: "ws" },
    transportOptions: { server, keepAliveInterval: 1 },
    sessionDescriptionHandlerFactoryOptions: {
      iceGatheringTimeout: 500,
      peerConnectionConfiguration: { iceServers: [] },
    },
  },
  delegate: {
    onRegistered: tell("registered"),
    onCallReceived: tell("rings"),
    onCallAnswered: tell("answered"),
    onCallHangup: tell("over"),
  },
});

// Says so once the other one is heard.
async function hears(whom) {
  const { peerConnection } = phone.session.sessionDescriptionHandler;
  for (;;) {
    for (const report of (await peerConnection.getStats()).values()) {
      if (report.type === "inbound-rtp" && report.packetsReceived >= 25) {
        return say("hears", whom);
      }
    }
    await new Promise((done) => setTimeout(done, 100));
  }
}

async function calls() {
  const [answered, over] = [once("answered"), once("over")];
  await phone.call(`sip:${callee}@${domain}`);
  await answered;
  await hears("the callee");
  await phone.hangup();
  await over;
}

async function isCalled() {
  const [rings, over] = [once("rings"), once("over")];
  say("waits");
  await rings;
  await phone.answer();
  await hears("the caller");
  await over;
}

try {
  await phone.connect();
  const registered = once("registered");
  await phone.register();
  await registered;
  await calls();
  await isCalled();
  say("is done");
} catch (error) {
  say("failed:", error.stack);
}
