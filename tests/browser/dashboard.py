#!/usr/bin/env python3
"""Looks at the dashboard in a real Chromium, and says what is to be seen there: one JSON object.

    dashboard.py URL TOKEN [DIRECTORY]

Types TOKEN where the page asks for one (empty: it should not ask). With a DIRECTORY, puts screenshots into it. Speaks the
DevTools protocol over a pipe, so that it needs nothing but Chromium and Python.
"""
import base64
import json
import os
import subprocess
import sys
import tempfile
import time

PATIENCE = 60


class Chromium:
    def __init__(self, profile):
        to_browser, ours_out = os.pipe()
        ours_in, from_browser = os.pipe()

        def place():
            # Moved out of the way first: either may be 3 or 4 itself.
            a, b = os.dup(to_browser), os.dup(from_browser)
            os.dup2(a, 3)
            os.dup2(b, 4)

        self.process = subprocess.Popen(
            ["chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
             "--disable-background-networking", "--remote-debugging-pipe", "--user-data-dir=" + profile, "about:blank"],
            close_fds=False, preexec_fn=place, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL)
        os.close(to_browser)
        os.close(from_browser)
        self.out, self.into = os.fdopen(ours_out, "wb", 0), os.fdopen(ours_in, "rb", 0)
        self.buffer, self.number, self.session, self.events = b"", 0, None, []

    def call(self, method, **parameters):
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        self.out.write(json.dumps(message).encode() + b"\0")
        while True:
            answer = self.receive()
            if answer.get("id") == self.number:
                if "error" in answer:
                    raise RuntimeError(method + ": " + answer["error"]["message"])
                return answer["result"]
            self.events.append(answer)

    def receive(self):
        while b"\0" not in self.buffer:
            some = self.into.read(65536)
            if not some:
                raise RuntimeError("chromium has ended")
            self.buffer += some
        message, self.buffer = self.buffer.split(b"\0", 1)
        return json.loads(message)

    def value(self, expression):
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(expression + ": " + json.dumps(answer["exceptionDetails"])[:500])
        return answer["result"].get("value")

    def wait(self, expression):
        end = time.monotonic() + PATIENCE
        while not self.value(expression):
            if time.monotonic() > end:
                raise RuntimeError("never true: " + expression + "; the page: " + self.value("document.body.innerText"))
            time.sleep(0.05)  # a poll, not a guess: the page tells of itself by nothing else

    def screenshot(self, path):
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        shot = self.call("Page.captureScreenshot", format="png", clip=clip, captureBeyondViewport=True)
        with open(path, "wb") as file:
            file.write(base64.b64decode(shot["data"]))


def show(browser, width, dark):
    browser.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 600)
    browser.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme",
                                                          "value": "dark" if dark else "light"}])
    return {"width": width, "scroll_width": browser.value("document.documentElement.scrollWidth"),
            "background": browser.value("getComputedStyle(document.body).backgroundColor")}


def look(browser, url, token, directory):
    target = browser.call("Target.createTarget", url="about:blank")["targetId"]
    browser.session = browser.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
    for domain in ("Page", "Runtime", "Log", "Network"):
        browser.call(domain + ".enable")
    browser.call("Page.navigate", url=url)
    browser.wait("document.readyState === 'complete'")
    seen = {"asked_for_token": False}
    if token:
        browser.wait("!document.getElementById('login').hidden")
        seen["asked_for_token"] = True
        browser.value("document.querySelector('#login input').focus()")
        browser.call("Input.insertText", text=token)
        browser.value("document.querySelector('#login form').requestSubmit()")
    # Four looks: three intervals to draw, with all that happened before the first counted in the tables.
    browser.wait("Number(document.body.dataset.looks || 0) >= 4")
    seen["title"] = browser.value("document.title")
    seen["text"] = browser.value("document.body.innerText")
    seen["curves"] = browser.value("document.querySelectorAll('svg path').length")
    seen["images"] = browser.value("document.querySelectorAll('img, iframe, object, embed, main script').length")
    seen["hacked"] = browser.value("String(window.hacked)")
    seen["top_users"] = browser.value(
        "[...document.querySelectorAll('#top tbody tr td:first-child')].map(c => c.textContent)")
    # The policy holds: what somebody got into the page in spite of all would not run.
    seen["inline_script_ran"] = browser.value(
        "(() => { const s = document.createElement('script'); s.textContent = 'window.injected = 1';"
        " document.body.append(s); s.remove(); return window.injected === 1; })()")
    seen["views"] = []
    for name, width, dark in (("light", 1280, False), ("dark", 1280, True), ("phone", 390, False)):
        seen["views"].append({"name": name, **show(browser, width, dark)})
        if directory:
            browser.screenshot(os.path.join(directory, name + ".png"))
    seen["requests"], seen["complaints"] = [], []
    for event in browser.events:
        parameters = event.get("params", {})
        if event.get("method") == "Network.requestWillBeSent":
            seen["requests"].append(parameters["request"]["url"])
        elif event.get("method") == "Runtime.exceptionThrown":
            seen["complaints"].append(parameters["exceptionDetails"].get("text", ""))
        elif event.get("method") == "Log.entryAdded" and parameters["entry"]["level"] == "error":
            seen["complaints"].append(parameters["entry"]["text"] + " " + parameters["entry"].get("url", ""))
    return seen


def main():
    url, token = sys.argv[1], sys.argv[2]
    directory = sys.argv[3] if len(sys.argv) > 3 else None
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        browser = Chromium(profile)
        try:
            json.dump(look(browser, url, token, directory), sys.stdout)
        finally:
            browser.process.kill()
            browser.process.wait()


main()
