// Imported on the server, too: importing does nothing.
import { codes } from "cropvlm";
import Cropper from "./cropper";

export default function Page() {
  return (
    <main>
      <h1>cropvlm</h1>
      <Cropper />
      <p id="codes">{codes.length} error codes</p>
    </main>
  );
}
