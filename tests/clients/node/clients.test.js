// @kubernetes/client-node against a running cluster: KUBECONFIG says where, NAMESPACE what is ours. Run by test_node.py.
const assert = require("node:assert");
const test = require("node:test");
const k8s = require("@kubernetes/client-node");

const config = new k8s.KubeConfig();
config.loadFromDefault();
const core = config.makeApiClient(k8s.CoreV1Api);
const apps = config.makeApiClient(k8s.AppsV1Api);
const namespace = process.env.NAMESPACE;

const map = (name, data) => ({ metadata: { name }, data });

test("create, read, replace, list in pages, delete", async () => {
  const made = await core.createNamespacedConfigMap({ namespace, body: map("one", { a: "b" }) });
  made.data.c = "d";
  const replaced = await core.replaceNamespacedConfigMap({ namespace, name: "one", body: made });
  assert.deepStrictEqual(replaced.data, { a: "b", c: "d" });
  await assert.rejects(core.replaceNamespacedConfigMap({ namespace, name: "one", body: made }), { code: 409 });
  const first = await core.listNamespacedConfigMap({ namespace, limit: 1 });
  const rest = await core.listNamespacedConfigMap({ namespace, limit: 1, _continue: first.metadata._continue });
  assert.deepStrictEqual([...first.items, ...rest.items].map((one) => one.metadata.name), ["kube-root-ca.crt", "one"]);
  await core.deleteNamespacedConfigMap({ namespace, name: "one" });
  await assert.rejects(core.readNamespacedConfigMap({ namespace, name: "one" }), { code: 404 });
});

test("every patch, and server-side apply", async () => {
  await core.createNamespacedConfigMap({ namespace, body: map("two", { a: "b" }) });
  const patch = (body, strategy) =>
    core.patchNamespacedConfigMap(
      { namespace, name: "two", body, fieldManager: "js", force: strategy === k8s.PatchStrategy.ServerSideApply || undefined },
      k8s.setHeaderOptions("Content-Type", strategy),
    );
  const json = await patch([{ op: "add", path: "/data/c", value: "d" }], k8s.PatchStrategy.JsonPatch);
  assert.deepStrictEqual(json.data, { a: "b", c: "d" });
  const merged = await patch({ data: { a: null } }, k8s.PatchStrategy.MergePatch);
  assert.deepStrictEqual(merged.data, { c: "d" });
  const strategic = await patch({ metadata: { labels: { x: "y" } } }, k8s.PatchStrategy.StrategicMergePatch);
  assert.deepStrictEqual(strategic.metadata.labels, { x: "y" });
  const body = { apiVersion: "v1", kind: "ConfigMap", ...map("two", { e: "f" }) };
  const applied = await patch(body, k8s.PatchStrategy.ServerSideApply);
  assert.strictEqual(applied.data.e, "f");
});

test("a watch tells what happens", async () => {
  const listed = await core.listNamespacedConfigMap({ namespace });
  const seen = [];
  const ended = new Promise((resolve, reject) => {
    const limit = setTimeout(() => reject(new Error("the watch was silent")), 20000);
    new k8s.Watch(config)
      .watch(
        `/api/v1/namespaces/${namespace}/configmaps`,
        { resourceVersion: listed.metadata.resourceVersion },
        (type, object) => {
          seen.push([type, object.metadata.name]);
          if (type === "DELETED") resolve(clearTimeout(limit));
        },
        () => {},
      )
      .then(async (request) => {
        await core.createNamespacedConfigMap({ namespace, body: map("three", {}) });
        await core.deleteNamespacedConfigMap({ namespace, name: "three" });
        ended.then(() => request.abort());
      })
      .catch(reject);
  });
  await ended;
  assert.deepStrictEqual(seen, [["ADDED", "three"], ["DELETED", "three"]]);
});

test("an informer keeps up", async () => {
  const path = `/apis/apps/v1/namespaces/${namespace}/deployments`;
  const informer = k8s.makeInformer(config, path, () => apps.listNamespacedDeployment({ namespace }));
  const grown = new Promise((resolve) => {
    informer.on("update", (one) => one.status?.readyReplicas === 2 && resolve(one));
  });
  informer.on("error", () => {});
  await informer.start();
  const containers = [{ name: "web", image: "web:1" }];
  const labels = { app: "web" };
  const spec = { replicas: 1, selector: { matchLabels: labels }, template: { metadata: { labels }, spec: { containers } } };
  await apps.createNamespacedDeployment({ namespace, body: { metadata: { name: "web" }, spec } });
  const scale = await apps.readNamespacedDeploymentScale({ namespace, name: "web" });
  scale.spec.replicas = 2;
  delete scale.metadata.resourceVersion; // the controller writes too
  await apps.replaceNamespacedDeploymentScale({ namespace, name: "web", body: scale });
  assert.strictEqual((await grown).metadata.name, "web");
  await informer.stop();
});

test("any object by its kind", async () => {
  const objects = k8s.KubernetesObjectApi.makeApiClient(config);
  const body = { apiVersion: "v1", kind: "Secret", metadata: { name: "any", namespace }, stringData: { a: "b" } };
  const made = await objects.create(body);
  assert.strictEqual(made.data.a, "Yg==");
  const mine = await config.makeApiClient(k8s.AuthenticationV1Api).createSelfSubjectReview({ body: {} });
  assert.strictEqual(mine.status.userInfo.username, "kubernetes-admin");
});
