// A worker whose graphics devices are at hand, so that a test can take one away as a driver would.

/** The script that starts the worker, changed so that `self.devices` holds every device that is requested. */
export const keepsDevices = (loader) => `
  self.devices = [];
  const original = self.GPUAdapter?.prototype.requestDevice;
  if (original) self.GPUAdapter.prototype.requestDevice = async function (...given) {
    const device = await original.apply(this, given);
    self.devices.push(device);
    return device;
  };
  ${loader.replace(/^import init from '(.*?)';/, "const { default: init } = await import('$1');")}`;
